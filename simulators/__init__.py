"""The world outside the gateway: it meets the gateway through MQTT alone.

scenario, world, truth                     worlds as data, played, and what is really wrong in them
ward, notes, plant, loglines               patients, nurses, machines and their logs
client, access, play, simulate, replay     MQTT sessions as devices have them, and what they send
made                                       labelled data for training
"""
