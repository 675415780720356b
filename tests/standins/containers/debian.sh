# Unpack packages of a Debian, suite $2, with all that they depend on, into the root directory $1, from where this machine
# gets its packages: a base with another C library than the one that the agent brings.
set -e
root=$1 suite=$2 work=$1.apt
shift 2
mkdir -p "$root" "$work/lists/partial" "$work/archives/partial"
: > "$work/status"
from=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $from $suite main" > "$work/sources.list"
of="-qq -o Dir::Etc::sourcelist=$work/sources.list -o Dir::Etc::sourceparts=- -o Dir::State::Lists=$work/lists
    -o Dir::State::status=$work/status -o Dir::Cache=$work -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"
apt-get $of update
apt-get $of install --yes --download-only --no-install-recommends "$@"
for package in "$work"/archives/*.deb; do
    case $package in */perl-base_* | */dpkg_* | */debconf_* | */tar_* | */tzdata_*) continue ;; esac
    dpkg-deb --extract "$package" "$root"
done
rm -rf "$root/usr/share/doc" "$root/usr/share/locale" "$root/usr/share/man" "$work"
echo "root:x:0:0:root:/root:/bin/sh" > "$root/etc/passwd"
echo "root:x:0:" > "$root/etc/group"
mkdir -p "$root/tmp" "$root/root"
chmod 1777 "$root/tmp"
