"""Training: one module a model, each with `train` and `evaluate`. Nothing that runs on a box imports this.

common                                     seeds, export, intervals, manifests and cards
judge_*, ranking                           figures and their intervals
*_recipe, *_card, tabular                  what a training module is made of
"""
