"""Build a RED dataset: pairs of photographs that differ by an edit. The same as ``redaes data build``.

python data_gen/build_pairs.py                                    # sample photographs, into runs/sample_pairs
python data_gen/build_pairs.py my_photographs --out my_pairs --workers 4
python data_gen/build_pairs.py my_photographs --out my_pairs --config data_gen/configs/large.yaml
"""

from redaes.cli import main

if __name__ == "__main__":
    main("data", "build")
