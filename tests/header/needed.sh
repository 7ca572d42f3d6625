#!/bin/sh
# needed.sh READELF FILE...: nothing of CUDA must be there for a program to start.
set -eu
readelf=$1
shift
for file; do
  needed=$("$readelf" -d "$file" | grep NEEDED)
  echo "$needed" | grep -q libc.so || { echo "$file needs no C library? $needed"; exit 1; }
  cuda=$(echo "$needed" | grep -i -e cuda -e cublas -e cudnn -e libnv || true)
  [ -z "$cuda" ] || { echo "$file needs: $cuda"; exit 1; }
done
