#!/bin/sh
# install.sh CMAKE BUILD CC LIBDIR: install into an empty prefix, move it, compile a program against
# it with pkg-config, and run it and the installed blip2, with the installed demo model, from another
# folder.
set -eu
cmake=$1 build=$2 cc=$3 libdir=$4
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
prefix="$folder/a prefix"
"$cmake" --install "$build" --prefix "$folder/first" > "$folder/log" || { cat "$folder/log"; exit 1; }
mv "$folder/first" "$prefix"
cd "$folder"
export PKG_CONFIG_PATH="$prefix/$libdir/pkgconfig"
eval "set -- $(pkg-config --cflags --libs blip2)" # eval: the prefix's space is escaped
"$cc" "$here/use.c" -o use "$@"
"$cc" "$here/submit.c" -o submit "$@"
pictures=$prefix/share/blip2/models/demo/pictures
unset BLIP2_MODEL
library=$(LD_LIBRARY_PATH="$prefix/$libdir" ./use "$prefix/share/blip2/models/demo/caption" \
  "$pictures/001.png")
program=$("$prefix/bin/blip2" caption "$pictures/001.png")
if [ -z "$library" ] || [ "$library" != "$program" ]; then
  echo "through the library: '$library', through the program: '$program'"
  exit 1
fi
question="what colour is the ring?"
library=$(LD_LIBRARY_PATH="$prefix/$libdir" ./submit "$prefix/share/blip2/models/demo/caption" \
  "$pictures/001.png" "$question" "how many shapes are there?" | grep "^$question")
if [ "$library" != "$question red" ]; then
  echo "jobs: '$library'"
  exit 1
fi
