"""What a model is: pure code over numbers, and the files it is made of.

errors, bounds, scored                     the error tree, what a reading can be, what a model answers
runtime, bundle                            TFLite behind one adapter, and the folder a model travels in
news2                                      a model without weights
text, bag, notes, lines                    the text models
tabular, risk, anomaly, normality          the models over vital signs and sensors
datasets                                   the registry and its readers
training                                   fitting and measuring; needs the extra `train`
"""
