#!/bin/sh
# The initrd's init program: finds the slot's root, which must be the one that the kernel's command
# line describes, and switches to it. Any failure ends this program, so the kernel panics and
# restarts the machine (panic=5); the boot loader then has one try less.
export PATH=/bin
# Severity "critical" is printed even by a quiet kernel.
say() { echo "<2>sallyport-initrd: $*" > /dev/kmsg; }
tell() { echo "<4>sallyport-initrd: $*" > /dev/kmsg; }
fail() { say "$*"; sleep 1; exit 1; }

mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o mode=0755,nosuid dev /dev

# The order follows the dependencies. Drivers of missing hardware just stay unused.
for module in $(cat /modules/order); do insmod "/modules/$module" 2> /dev/null; done

# [OTA-80] The watchdog gets the time that the command line gives systemd. A driver's own default of
# 30 s would reset a slow board again and again before systemd could take over. busybox sets the
# time (WDIOC_SETTIMEOUT) and is killed: a watchdog that is closed without the magic character keeps
# running. What the driver made of it is read back, because drivers have bounds of their own.
arm_watchdog() { # SECONDS
  [ -c /dev/watchdog0 ] || return 0
  facts=/sys/class/watchdog/watchdog0 seconds=$1 most="" tries=0
  case $seconds in "" | *[!0-9]*) seconds=60 ;; esac
  read -r most 2> /dev/null < $facts/max_timeout
  case $most in "" | 0 | *[!0-9]*) ;; *) [ "$seconds" -le "$most" ] || seconds=$most ;; esac
  watchdog -F -T "$seconds" -t "$seconds" /dev/watchdog0 2> /dev/null &
  until is_armed "$seconds"; do
    tries=$((tries + 1))
    [ $tries -lt 50 ] || break
    sleep 0.1
  done
  kill -9 $! 2> /dev/null && wait $! 2> /dev/null
  # [OTA-81] Where that did not work, it is opened as it is: better a short time than none.
  is_armed "" || : > /dev/watchdog0
  took=""
  read -r took 2> /dev/null < $facts/timeout
  note="the watchdog resets this machine after ${took:-an unknown number of} s"
  if [ "$took" = "$1" ]; then tell "$note"; else say "$note instead of ${1:-(not set)}"; fi
}
is_armed() { # SECONDS, or nothing for any time
  state="" now=""
  read -r state 2> /dev/null < $facts/state
  read -r now 2> /dev/null < $facts/timeout
  [ "$state" = active ] && { [ -z "$1" ] || [ "$now" = "$1" ]; }
}

slot="" verity="" watchdog=""
for word in $(cat /proc/cmdline); do
  case $word in systemd.watchdog_sec=*) watchdog=${word#*=} ;; esac
done
arm_watchdog "$watchdog"

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
[ -n "$salt" ] || fail "the command line does not describe the root"

# Whether a partition is on a built-in disk. Releases are not secret: anybody can put this root onto
# a card, beside a data partition of their own. ".." is resolved at the link's target and is the
# disk. Documentation/driver-api/mmc/mmc-dev-attrs.rst: the type of eMMC is MMC, that of a card is
# SD.
is_built_in() {
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
    is_built_in "$partition" || continue
    [ -z "$device" ] || fail "two built-in disks have a partition root-$slot: remove the one that does not belong here"
    device=/dev/$(basename "$partition")
  done
  [ -n "$device" ] && break
  tries=$((tries + 1))
  [ "$tries" -lt 300 ] || fail "no built-in disk has a partition root-$slot: cards and USB sticks do not count"
  sleep 0.1
done

# dm-verity: Documentation/admin-guide/device-mapper/verity.rst. The hash tree follows the data and
# one block of superblock.
dmsetup create root --noudevsync --noudevrules --readonly --table \
  "0 $((blocks * 8)) verity 1 $device $device 4096 4096 $blocks $((blocks + 1)) sha256 $hash $salt 1 panic_on_corruption" ||
  fail "the root of slot $slot cannot be set up"
for node in /dev/mapper/root /dev/dm-0; do [ -b "$node" ] && break; done
mount -t squashfs -o ro,nodev "$node" /root || fail "the root of slot $slot is not the one that the kernel's command line describes"

mount -o move /dev /root/dev && mount -o move /sys /root/sys && mount -o move /proc /root/proc
exec switch_root /root /usr/lib/systemd/systemd
