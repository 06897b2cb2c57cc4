"""Look for pictures of a benchmark in training sets. The same as ``redaes eval leaks``.

python eval/check_leaks.py my_pairs --benchmark ava --data AVA --out leaks.json
"""

from redaes.cli import main

if __name__ == "__main__":
    main("eval", "leaks")
