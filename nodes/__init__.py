"""Node agents: values in, values out. No thread, no clock, no socket.

events, codec, topics, times, reasons      what comes in, and what is refused
outputs, publications, schemas             what goes out
pipeline, state, policy, tally             the way of a message, what it leaves behind, what is counted
agents                                     the five lines of work
"""
