#!/bin/sh
# install.sh CMAKE BUILD CC LIBDIR: install into an empty prefix, compile a program against it with
# pkg-config, and run it and the installed blip2, with the installed demo model, from another folder.
set -eu
cmake=$1 build=$2 cc=$3 libdir=$4
here=$(cd "$(dirname "$0")" && pwd)
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
"$cmake" --install "$build" --prefix "$prefix" > "$prefix/log" || { cat "$prefix/log"; exit 1; }
cd "$prefix"
# The file names the configured prefix; this test's is another one.
export PKG_CONFIG_PATH="$prefix/$libdir/pkgconfig"
flags=$(pkg-config --define-variable=prefix="$prefix" --cflags --libs blip2)
# shellcheck disable=SC2086 # flags are words
"$cc" "$here/use.c" -o use $flags
pictures=$prefix/share/blip2/models/demo/pictures
unset BLIP2_MODEL
library=$(LD_LIBRARY_PATH="$prefix/$libdir" ./use "$prefix/share/blip2/models/demo/caption" \
  "$pictures/001.png")
program=$(bin/blip2 caption "$pictures/001.png")
if [ -z "$library" ] || [ "$library" != "$program" ]; then
  echo "through the library: '$library', through the program: '$program'"
  exit 1
fi
