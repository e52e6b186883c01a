"""Methods × seeds on one data set and network: trained, timed, summed up and drawn.

plan          what is compared, presets
folder        the results folder and its manifest
lock          one command at work in it at a time
agreement     where files of a folder, or two plans, disagree
runs          training, one after the other or side by side
workers       processes for it; one that dies takes no other with it
timing        seconds of a step, all contestants in turn
memory        memory of a step: at its peak, kept, counted
clock         both of every contestant, in a file
pictures      reconstructions
summary       the numbers of every contestant, with their spread
table         the table and its notes, in words
claims        the paper's three claims against the numbers
figures       curves, costs, reconstructions
report        everything that follows from the folder's JSON files
conduct       `compare`: all of it
"""
