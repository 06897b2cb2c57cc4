"""How good a model's reasoning is where the edit is known, and whether it is true. The same as
``redaes eval rationales``.

python eval/rationale_quality.py my_pairs --out runs/rationales
python eval/rationale_quality.py my_pairs --adapter runs/stage3/final --pairs 500
python eval/rationale_quality.py my_pairs --endpoint http://127.0.0.1:8000/v1 --model NAME --reader lenient --measured
python eval/rationale_quality.py my_pairs --judge-url http://127.0.0.1:8000/v1 --judge-model NAME
"""

from redaes.cli import main

if __name__ == "__main__":
    main("eval", "rationales")
