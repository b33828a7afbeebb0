# The commands of one document, in namespaces of their own: session.rs starts this with `unshare`.
#   session.sh FOLDER PROGRAM DOCUMENT
# FOLDER has the copy of the checkout, the commands of DOCUMENT, and a folder for what each block prints. What the
# commands write to /etc, /usr/local, /var, /run, /tmp and their home is gone with the session.
set -euo pipefail
folder=$1 program=$2 document=$3
ip link set lo up
read -r _ outside _ </proc/self/uid_map
[ "$outside" = 0 ] && is_root=yes || is_root=no

# All of it is put together in FOLDER and then moved, for FOLDER and PROGRAM may be below folders that are replaced.
private=$folder/private
mount -n -t tmpfs private "$private"
mkdir "$private"/{bin,checkout,home,kubectl,layers,outputs}
touch "$private"/{bin/sidegate,commands}
mount -n --bind "$program" "$private/bin/sidegate"
mount -n --bind "$folder/commands" "$private/commands"
mount -n --bind "$folder/checkout" "$private/checkout"
mount -n --bind "$folder/outputs" "$private/outputs"
[ ! -d target/kubernetes/kubectl/usr/bin ] || mount -n --bind target/kubernetes/kubectl/usr/bin "$private/kubectl"
mount -n --move "$private" /mnt
for layer in /etc /usr/local /var; do
    mkdir -p "/mnt/layers$layer"/{upper,work}
    # Without root, the folders belong to another user, and cannot be written to: these take their place.
    [ "$is_root" = yes ] || (cd "$layer" && find . -maxdepth 3 -type d -print0 2>/dev/null || true) |
        (cd "/mnt/layers$layer/upper" && xargs -0 mkdir -p)
    mount -n -t overlay -o "lowerdir=$layer,upperdir=/mnt/layers$layer/upper,workdir=/mnt/layers$layer/work" overlay "$layer"
done
# And only one user exists: for a program that changes its user, all names are of this one.
[ "$is_root" = yes ] || sed -i -E 's/:[0-9]+/:0/g' /etc/passwd /etc/group
mount -n -t tmpfs private /run
mount -n -t tmpfs private /tmp
export HOME=/mnt/home TMPDIR=/tmp
unset folder program private layer outside is_root

# A block of commands begins: what it prints is kept apart.
begin() { # line
    exec >"/mnt/outputs/$1" 2>&1
}

# A block of commands ends.
end() { # the status that its last command should end with
    local status=$?
    set -e
    [ "$status" = "$1" ] || { echo "the last command ended with $status instead of $1"; exit 1; }
}

cd /mnt/checkout
exec 9>&1
trap 'echo "$document:$LINENO: $BASH_COMMAND" >&9' ERR
. /mnt/commands
