"""The networks that redaes brings with it: the embedded Qwen-VL, and FGAesQ, the ranker of series."""
