"""The networks that redaes contains: the embedded Qwen-VL, and FGAesQ, the ranker of series."""
