"""Preparation of training data.

Read in this order: settings; recordings (what an input offers), folders, shards, huggingface and sources (the kinds of
input); checks (one recording); validation, report and run (`vivavoce prepare`); blocks, tokens_torch and tokens
(`vivavoce prepare --tokens`).
"""
