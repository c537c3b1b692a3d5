#!/bin/sh
# Makes GRUB's network loader for arm64 from Debian's modules, on a machine of
# any architecture and without changing its own package lists.
#   arm64-loader.sh OUTPUT CACHE
#
# Debian's ready-made grubnetaa64.efi is not used: it lacks HTTP, and nine
# tenths of its 4 MB are a font.
set -eu

output=$1 cache=$2
package=grub-efi-arm64-bin
modules="efinet tftp http linux boot chain part_gpt part_msdos fat
	normal configfile minicmd regexp test true echo sleep"

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
rm -rf "${cache:?}/$package"
dpkg-deb -x "$cache/${package}"_*_arm64.deb "$cache/$package"

# GRUB runs this before anything else. When there is no configuration it must
# not wait at a prompt: the firmware may know a disk.
cat >"$cache/embedded.cfg" <<'EOF'
configfile $prefix/grub.cfg
sleep 2
configfile $prefix/grub.cfg
exit
EOF
# shellcheck disable=SC2086 # the modules are words
grub-mkimage -O arm64-efi -d "$cache/$package/usr/lib/grub/arm64-efi" -p /grub \
	-c "$cache/embedded.cfg" -o "$output.part" $modules
mv "$output.part" "$output"
