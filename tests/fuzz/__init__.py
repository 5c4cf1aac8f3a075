"""Mutated requests to the doors of a running server, which must neither die nor panic nor fall silent.

    cd tests && python -m fuzz --seconds 600 --seed 1 --door kafka,sql
    cd tests && python -m fuzz --replay FILE

An input follows from door, seed and number alone. What was found lies in files that `--replay` sends again.
"""
