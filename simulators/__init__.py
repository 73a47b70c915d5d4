"""The world outside the gateway: it meets the gateway through MQTT alone.

scenario, world, path, truth               worlds as data, played, spoilt on the way, and what is really wrong
ward, notes, emergency, plant, loglines    patients, nurses, arrivals, machines and their logs
client, play, simulate, replay, load       MQTT sessions as devices have them, and what they send
score, report                              what a gateway made of a world
compare                                    simulated vital signs and notes beside real ones
made                                       labelled data for training
"""
