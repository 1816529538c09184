"""The work behind each command: a room per verb, and no arrows back between them.

``models`` and ``chips`` lie below all others: a network as one verb hands it to the next, and the
chip that is meant. Above them ``checking``, ``compilation``, ``profiling``, ``inspection``,
``simulation``; ``comparison`` and ``evaluation``, which simulate; ``quantization``, which compares;
``diagnosis``, which quantizes. ``run_config`` reads the files that hold options of all of them.
The command line and ``import knightlite`` parse, call these and show what comes back; nothing else
decides.
"""
