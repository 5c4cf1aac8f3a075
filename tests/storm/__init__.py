"""A storm of real faults over a whole cluster, and a ledger that says whether it held.

    cd tests && python -m storm --minutes 30 --seed 1

One seed gives one plan of faults. The load and the timing are real, so a seed repeats the plan, not
every interleaving.
"""
