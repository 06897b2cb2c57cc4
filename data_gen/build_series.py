"""Build labelled series for FGAesQ from bursts, pictures of one prompt, and crops. The same as ``redaes data series``.

python data_gen/build_series.py                                # crops of sample photographs, judged by redaes/nano
python data_gen/build_series.py --natural BURSTS --aigc PROMPTS --cropping PHOTOS --out my_series
python data_gen/build_series.py (the same again) --votes my_series/ballots.csv
python data_gen/build_series.py (the same again) --assessor redaes/nano
"""

from redaes.cli import main

if __name__ == "__main__":
    main("data", "series")
