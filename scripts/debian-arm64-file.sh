#!/bin/sh
# Takes one file out of a Debian package of the arm64 architecture, on a machine
# of any architecture, without changing the machine's own package lists.
#   debian-arm64-file.sh PACKAGE PATH/IN/PACKAGE OUTPUT CACHE
set -eu

package=$1 path=$2 output=$3 cache=$4
mkdir -p "$cache/state/lists/partial" "$cache/archives/partial"
: >"$cache/status"
foreign() {
	apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
		-o "Dir::State=$PWD/$cache/state" -o "Dir::State::status=$PWD/$cache/status" \
		-o "Dir::Cache=$PWD/$cache" -o APT::Sandbox::User=root "$@"
}
if ! ls "$cache/${package}"_*_arm64.deb >/dev/null 2>&1; then
	foreign update >/dev/null
	(cd "$cache" && PWD="$OLDPWD" && foreign download "$package" >/dev/null)
fi
dpkg-deb --fsys-tarfile "$cache/${package}"_*_arm64.deb | tar -xO "$path" >"$output.part"
mv "$output.part" "$output"
