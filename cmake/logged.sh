#!/bin/sh
# logged.sh FILE COMMAND...: what the command says on stderr goes to FILE, and is shown if it fails.
log=$1
shift
"$@" 2> "$log" || {
  status=$?
  cat "$log" >&2
  exit $status
}
