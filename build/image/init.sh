#!/bin/sh
# First program of the gateway's kernel: finds the slot's root, which must be what the kernel's command line says it is, and goes there.
# Whatever fails ends this program, so the kernel panics and restarts the machine (panic=5); the boot loader then counts one try less.
export PATH=/bin
# critical: a kernel that is to be quiet says it all the same
say() { echo "<2>sallyport-initrd: $*" > /dev/kmsg; }
fail() { say "$*"; sleep 1; exit 1; }

mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o mode=0755,nosuid dev /dev

# in the order in which they need each other; drivers of hardware that is not there just stay unused
for module in $(cat /modules/order); do insmod "/modules/$module" 2> /dev/null; done
# opened and left without a word the watchdog runs on: a system that does not take it over in time is restarted
[ -c /dev/watchdog0 ] && : > /dev/watchdog0

slot="" verity=""
for word in $(cat /proc/cmdline); do
  case $word in
    sallyport.slot=*) [ -z "$slot" ] || fail "the command line names two slots"; slot=${word#*=} ;;
    sallyport.verity=*) [ -z "$verity" ] || fail "the command line names two roots"; verity=${word#*=} ;;
  esac
done
case $slot in a | b) ;; *) fail "the command line names no slot" ;; esac
IFS=: read -r blocks hash salt <<END
$verity
END
[ -n "$salt" ] || fail "the command line does not say what the root is"

# Whether a partition is on a disk that stays in. Releases are no secret: anybody can put this root onto a card, beside a data partition of their own.
# .. of a link is that of where it points: the disk. Documentation/driver-api/mmc/mmc-dev-attrs.rst: eMMC's type is MMC
stays_in() {
  type="" removable=""
  read -r type 2> /dev/null < "$1/../device/type"
  read -r removable 2> /dev/null < "$1/../removable"
  case $type in SD*) return 1 ;; esac
  case $(cd -P "$1/.." && pwd) in */usb[0-9]*) return 1 ;; esac
  [ "$removable" != 1 ]
}

device="" tries=0
while [ -z "$device" ]; do
  for event in /sys/class/block/*/uevent; do
    grep -qx "PARTNAME=root-$slot" "$event" 2> /dev/null || continue
    partition=$(dirname "$event")
    stays_in "$partition" || continue
    [ -z "$device" ] || fail "two disks have a partition root-$slot: take out the one that was put in"
    device=/dev/$(basename "$partition")
  done
  [ -n "$device" ] && break
  tries=$((tries + 1))
  [ "$tries" -lt 300 ] || fail "no disk that stays in has a partition root-$slot: cards and USB sticks do not count"
  sleep 0.1
done

# dm-verity: Documentation/admin-guide/device-mapper/verity.rst; the tree follows the data, behind one block of superblock
dmsetup create root --noudevsync --noudevrules --readonly --table \
  "0 $((blocks * 8)) verity 1 $device $device 4096 4096 $blocks $((blocks + 1)) sha256 $hash $salt 1 panic_on_corruption" ||
  fail "the root of slot $slot cannot be set up"
for node in /dev/mapper/root /dev/dm-0; do [ -b "$node" ] && break; done
mount -t squashfs -o ro,nodev "$node" /root || fail "the root of slot $slot is not what the kernel's command line says"

mount -o move /dev /root/dev && mount -o move /sys /root/sys && mount -o move /proc /root/proc
exec switch_root /root /usr/lib/systemd/systemd
