# The commands of one document, in namespaces of their own: session.rs starts this with `unshare`.
#   session.sh FOLDER PROGRAM DOCUMENT
# FOLDER has the copy of the checkout, the commands of DOCUMENT, and a folder for what each block prints. What the
# commands write to /etc, /usr/local, /var, /run, /tmp and their home is gone with the session.
set -euo pipefail
folder=$1 program=$2 document=$3
ip link set lo up

# All of it is put together in FOLDER and then moved, for FOLDER and PROGRAM may be below folders that are replaced.
private=$folder/private
mount -t tmpfs private "$private"
mkdir "$private"/{bin,checkout,home,kubectl,layers,outputs}
touch "$private"/{bin/sidegate,commands}
mount --bind "$program" "$private/bin/sidegate"
mount --bind "$folder/commands" "$private/commands"
mount --bind "$folder/checkout" "$private/checkout"
mount --bind "$folder/outputs" "$private/outputs"
[ ! -d target/kubernetes/kubectl/usr/bin ] || mount --bind target/kubernetes/kubectl/usr/bin "$private/kubectl"
mount --move "$private" /mnt
for layer in /etc /usr/local /var; do
    mkdir -p "/mnt/layers$layer"/{upper,work}
    mount -t overlay -o "lowerdir=$layer,upperdir=/mnt/layers$layer/upper,workdir=/mnt/layers$layer/work" overlay "$layer"
done
mount -t tmpfs private /run
mount -t tmpfs private /tmp
export HOME=/mnt/home TMPDIR=/tmp
unset folder program private layer

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
