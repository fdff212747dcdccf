"""Preference training on TRL's DPO trainer, into an adapter or all weights.

May import `preference.pairs`, `preference.pair_files` and `preference.noise`; not `preference.mining`.
"""
