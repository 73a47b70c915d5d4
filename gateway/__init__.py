"""The rim: sockets, disks, clocks, processes and the command line.

link, paho_link                 the connection to a broker, and over paho
  paho_client, inbox, backoff, refusals, tls, address
daemon, outbox                  the loop, and what it owes
config, state                   what a user sets, and where things are kept
run, recording, record          the same pipeline over a file, and files of what goes by
broker, demo, watch             a broker of our own, the demonstration, a view of what goes by
keeper, store, guard, reload    what outlives the process, and what may not end it
chaos, proxy                    damage on purpose, and the ledger of it
scoring, scenarios              what the gateway made of a world whose truth is known
cli, log, signals               the command, what it says, how it ends
"""
