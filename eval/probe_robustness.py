"""What an assessor makes of changes that should lower a score, and of some that should not. The same as
``redaes eval probes``.

python eval/probe_robustness.py build my_photographs --out runs/probes
python eval/run_benchmark.py pairs --data runs/probes/pairs.csv --out runs/probes_nano --assessor vlm_pairs
python eval/probe_robustness.py show runs/probes_nano
python eval/run_benchmark.py pairs --data runs/probes/pairs.csv --out runs/probes_v1 --assessor vlm_pairs \\
    --option prompt=compare_fast_paraphrase/v1
python eval/probe_robustness.py wordings runs/probes_nano runs/probes_v1
"""

from redaes.cli import main

if __name__ == "__main__":
    main("eval", "probes")
