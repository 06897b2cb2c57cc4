"""Run an assessor over a benchmark of image aesthetics. The same as ``redaes eval``.

python eval/run_benchmark.py --list
python eval/run_benchmark.py ava --data AVA --out runs/ava_nano --assessor vlm
python eval/run_benchmark.py ava --data AVA --out runs/ava_sharp --assessor baseline --option measure=sharpness
python eval/run_benchmark.py phototriage --data PhotoTriage --config eval/configs/endpoint_pairs.yaml
"""

from redaes.cli import main

if __name__ == "__main__":
    main("eval", "run")
