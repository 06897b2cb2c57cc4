"""FGAesQ: fine-grained ranking of series of near-identical pictures (arXiv 2603.03907), beside the language model."""
