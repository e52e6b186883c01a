"""Methods × seeds on one data set and network: trained, timed, summed up and drawn.

plan              what is compared, presets
records           the JSON files, typed and checked
folder            the results folder: what it holds, read; one command at a time in it
manifest          a plan joined with the folder that it is for
timing            seconds of a step, all entries in turn
memory            memory of a step: at its peak, kept, counted
measure           both of every entry, by a process of its own, in a file
reconstructions   test images and what the networks make of them
summary           the numbers of every entry, with their spread
table             the table, as text and in Markdown
notes             what its numbers are, what is missing, what made them: in words
claims            the paper's three claims against the numbers
poster_claims     those of alternating minimization's announcement
figures           curves, costs, reconstructions
poster_figures    test error within the first epoch, and by epoch
page              everything that follows from the folder's JSON files
one_run           one run as a `train` command, and how far it is
run               `compare`: all of it
"""
