#!/bin/sh
# Trains the demo model from nothing: train.sh WORK_FOLDER. About an hour on two cores; a run that
# was cut off goes on from its last checkpoint. PYTHON names the interpreter (requirements.txt).
set -eu
work=${1:?usage: train.sh WORK_FOLDER}
python=${PYTHON:-python3}
here=$(dirname "$0")
# Spinning OpenMP threads waste the cores they share with anything else.
export GOMP_SPINCOUNT=0 OMP_WAIT_POLICY=PASSIVE TOKENIZERS_PARALLELISM=false
world() {
    [ -e "$work/$1/scenes.npz" ] ||
        "$python" "$here/render.py" --seed "$2" --count "$3" --out "$work/$1"
}
phase() {
    name=$1 steps=$2
    shift 2
    "$python" "$here/$name.py" --world "$work/world" --watch-world "$work/watch" \
        --out "$work/run" --steps "$steps" "$@"
}
world watch 2 500
world world 1 72000
phase vit 4400
phase stage1 1800
phase stage2 2200
phase stage2 900 --polish --rate 8e-4 --qformer-rate 3e-4
