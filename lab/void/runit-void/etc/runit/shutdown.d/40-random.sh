# shellcheck shell=sh
(umask 077 && head -c 512 /dev/urandom >/var/lib/random-seed)
