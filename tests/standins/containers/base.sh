# Put the interpreter of prefix $2 into the root directory $1, with all that it and a shell need: a stand-in
# for python:X-slim without a registry. Its prefix keeps its path.
set -e
root=$1 prefix=$2
version=$(basename "$(ls "$prefix"/bin/python3.[0-9] "$prefix"/bin/python3.[0-9][0-9] 2>/dev/null | head -1)")
mkdir -p "$root$prefix/bin" "$root$prefix/lib" "$root/etc" "$root/tmp" "$root/bin" "$root/usr/bin" "$root/root"
chmod 1777 "$root/tmp"
cp -a "$prefix/bin/$version" "$root$prefix/bin/"
ln -sf "$version" "$root$prefix/bin/python3"
ln -sf "$version" "$root$prefix/bin/python"
cp -a "$prefix/lib/$version" "$root$prefix/lib/"
for library in "$prefix"/lib/libpython*.so*; do [ ! -e "$library" ] || cp -a "$library" "$root$prefix/lib/"; done
rm -rf "$root$prefix/lib/$version/test" "$root$prefix/lib/$version"/config-* "$root$prefix/lib/$version/site-packages"/*
for package in pip; do
    for found in "$prefix/lib/$version/site-packages/$package" "$prefix/lib/$version/site-packages/$package"-*; do
        [ ! -e "$found" ] || cp -a "$found" "$root$prefix/lib/$version/site-packages/"
    done
done
find "$root$prefix" -name __pycache__ -prune -exec rm -rf {} +
tools="cat chmod cp date dd env false head id ls mkdir mv rm sleep tail touch true uname wc"
for tool in $tools; do cp -L "/usr/bin/$tool" "$root/usr/bin/"; done
cp -L /bin/dash "$root/bin/sh"
{
    for file in "$prefix/bin/$version" "$prefix/lib/$version"/lib-dynload/*.so "$prefix"/lib/libpython*.so* /bin/dash; do
        [ ! -e "$file" ] || ldd "$file" 2>/dev/null || true
    done
    for tool in $tools; do ldd "/usr/bin/$tool" 2>/dev/null || true; done
    ldconfig -p | grep -E 'lib(stdc\+\+|gcc_s|gomp|m|pthread|rt|dl|util)\.so' | grep -E 'x86-64|aarch64|AArch64' || true
} | grep -oE '/[^ ()]+' | grep -v "^$prefix" | sort -u | while read -r library; do
    [ -f "$library" ] || continue
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    mkdir -p "$root/etc/ssl/certs"
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
fi
echo "root:x:0:0:root:/root:/bin/sh" > "$root/etc/passwd"
echo "root:x:0:" > "$root/etc/group"
