"""The rim: sockets, disks, clocks, processes and the command line.

link, paho_link, tls, address   the connection to a broker
daemon, outbox                  the loop, and what it owes
config, toml_lines, state       what a user sets, and where things are kept
run, recording                  the same pipeline over a file
broker, demo, watch             a broker of our own, the demonstration, a view of what goes by
cli, log, signals               the command, what it says, how it ends
"""
