#!/usr/bin/env bash
# The embedded model from nothing: pairs, tower, reading, three stages, and what they reached, one step after the other.
#
#   benchmarks/train_nano.sh --out runs/nano PHOTOGRAPHS...        # folders of photographs
#   benchmarks/train_nano.sh --out runs/nano --plan PHOTOGRAPHS... # prints the commands and runs none
#
# Started again after a kill it goes on where it was: each step from its last checkpoint, finished steps are passed over.
# Two never run in one folder. --share 0.01 makes a hundredth of the steps, to see that everything runs; --processes N
# (default 2, one thread each) is part of a run's settings and stays as it was begun. --data FOLDER takes pairs that were
# built before, of the same photographs and share held out. --from MODEL starts from a trained embedded model, which gets
# cosines in its position embedding, wider layers and a tokenizer of the dataset's texts, instead of random weights.
# --read-from MODEL starts with writing, from a model that sees already. --composition W draws groups of pairs with an edit
# of the composition W times as often. docs/training.md has what each step takes.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python}" out="" data="" share=1 processes=2 plan="" from="" read_from="" composition=""
data_options=(--views 9 --test-fraction 0.15) photographs=()
while [ $# -gt 0 ]; do
    case "$1" in
        --out) out="$2"; shift 2 ;;
        --share) share="$2"; shift 2 ;;
        --processes) processes="$2"; shift 2 ;;
        --plan) plan=yes; shift ;;
        --data) data="$2"; shift 2 ;;
        --from) from="$2"; shift 2 ;;
        --read-from) read_from="$2"; shift 2 ;;
        --composition) composition="$2"; shift 2 ;;
        --views) data_options[1]="$2"; shift 2 ;;
        --test-fraction) data_options[3]="$2"; shift 2 ;;
        --*) echo "error: unknown option $1; the head of $0 has them all" >&2; exit 2 ;;
        *) photographs+=("$1"); shift ;;
    esac
done
if [ -z "$out" ] || [ ${#photographs[@]} -eq 0 ]; then
    echo "error: give --out FOLDER and at least one folder of photographs" >&2
    exit 2
fi
if [ -n "$from" ] && [ -n "$read_from" ]; then
    echo "error: --from begins with the tower and --read-from with writing; give one of them" >&2
    exit 2
fi
export ACCELERATE_USE_CPU=true OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
left_out=(--leave_out uneven_light hue_shift zoom_blur pixelation keystone lens_flare)
small=$((96 * 96)) full=$((224 * 224))

if [ -z "$plan" ]; then
    mkdir -p "$out"
    exec 9> "$out/.running"
    if ! flock -n 9; then
        echo "error: another $0 runs in $out; wait for it, or choose another folder" >&2
        exit 1
    fi
fi

run() {  # run COMMAND...: say it, and do it unless only the plan is wanted
    printf '%q ' "$@"; printf '\n'
    [ -n "$plan" ] || "$@"
}
steps() {  # steps N: the share of them that is wanted, two at least
    awk -v n="$1" -v share="$share" 'BEGIN { s = int(n * share + 0.5); print (s < 2 ? 2 : s) }'
}
stage() {  # stage NAME SCRIPT STEPS OPTIONS...: on all processes, into $out/NAME; the longest warm-up is a twentieth
    local name="$1" script="$2" n
    n=$(steps "$3")
    shift 3
    echo "## $name, $n steps"
    run "$python" -m torch.distributed.run --nproc_per_node "$processes" "stages/$script.py" --data "$data" \
        --output_dir "$out/$name" --max_steps "$n" --warmup_steps $((n / 20)) --save_steps 100 --save_total_limit 1 \
        "${left_out[@]}" "$@"
}
once() {  # once RESULT COMMAND...: a command that leaves a folder, whole or not at all; RESULT.part is replaced by it
    local result="$1"
    shift
    [ -z "$plan" ] && [ -e "$result" ] && return
    [ -n "$plan" ] || rm -rf "$result.part"
    run "$@" --out "$result.part"
    run mv "$result.part" "$result"
}

if [ -z "$data" ]; then
    data="$out/red"
    echo "## pairs"
    run "$python" data_gen/build_pairs.py "${photographs[@]}" --out "$data" "${data_options[@]}" --workers "$processes"
fi

if [ -n "$composition" ]; then
    echo "## pairs with an edit of the composition, more often"
    once "$out/red_weighted" "$python" benchmarks/draw_more_often.py "$data" --factor composition --weight "$composition"
    data="$out/red_weighted"
fi

if [ -z "$read_from" ]; then
    if [ -n "$from" ]; then
        echo "## from $from"
        once "$out/start" "$python" stages/build_nano.py --model "$from" --data "$data" --place-spread 0.4 --intermediate 640
    else
        echo "## from nothing"
        once "$out/start" "$python" stages/build_nano.py --data "$data" --place-spread 0.4 --intermediate 640
    fi

    # The tower: colours, faults, places, and the same cell in another view; small pictures first.
    places=(--place_weight 1 --matching_weight 0.5)
    stage vision_small warmup_vision 2000 --model "$out/start" --max_pixels $small "${places[@]}"
    stage vision warmup_vision 800 --model "$out/vision_small/final" --max_pixels $full "${places[@]}" --learning_rate 6e-4

    # The language model learns to look, without writing: small pictures and no words, then as it will be asked.
    look=(--answers false --per_device_train_batch_size 32)
    stage look_small warmup_reading 3000 --model "$out/vision/final" --max_pixels $small "${look[@]}" --short_question true
    stage look warmup_reading 600 --model "$out/look_small/final" --max_pixels $full "${look[@]}" --learning_rate 8e-4
    read_from="$out/look/final"
fi
# ... and to write.
stage read warmup_reading 1500 --model "$read_from" --max_pixels $full

# The stages, with a LoRA on that base.
on=(--model "$out/read/final" --max_pixels $full)
stage stage1 stage1_sft 150 "${on[@]}" --per_device_train_batch_size 24 --learning_rate 3e-4
verdict=(--thurstone_weight 0 --nll_weight 0 --antisymmetry_weight 10 --per_device_train_batch_size 32)
stage stage2_verdict stage2_align 500 "${on[@]}" --adapter "$out/stage1/final" "${verdict[@]}"
stage stage2 stage2_align 700 "${on[@]}" --adapter "$out/stage2_verdict/final" --per_device_train_batch_size 16 \
    --nll_weight 4 --antisymmetry_weight 20 --learning_rate 8e-4 --seed 1
once "$out/nano" "$python" stages/merge.py "$out/stage2/final"

# Stage 3 in one process: a ranking group is never cut. Its batches are the recipe's.
processes=1
stage stage3 stage3_grpo 120 "${on[@]}" --adapter "$out/stage2/final"
once "$out/nano_stage3" "$python" stages/merge.py "$out/stage3/final"

for model in nano nano_stage3; do
    echo "## what $model has reached"
    run "$python" benchmarks/independent_edits.py "${photographs[@]}" --test-fraction "${data_options[3]}" \
        --model "$out/$model" --against redaes/nano --data "$data" --out "$out/goals"
done
