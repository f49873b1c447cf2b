"""How nets read columns: one file per kind of encoder. Settings only; torch is imported when one is built."""
