"""Put runs of one benchmark side by side. The same as ``redaes eval compare``.

python eval/compare_runs.py runs/ava_sharp runs/ava_nano --out runs/ava_report
python eval/compare_runs.py runs/ava_nano --out runs/ava_report                 # one run alone
"""

from redaes.cli import main

if __name__ == "__main__":
    main("eval", "compare")
