#!/bin/sh
# First program of the probe's kernel: it makes the disk's second partition the root of our
# programs, which are named over the serial line.
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mount -t sysfs sys /sys
# insmod, unlike modprobe, takes no option from the kernel's command line
for module in $(cat /modules/order); do
  name=${module%.ko} options=""
  for word in $(cat /proc/cmdline); do
    case $word in "$name".*) options="$options ${word#*.}" ;; esac
  done
  insmod "/modules/$module" $options
done
while [ ! -b /dev/vda2 ]; do sleep 0.1; done
# noauto_da_alloc: ext4 would otherwise hide a missing fsync before a rename, unlike others
mount -t ext4 -o noauto_da_alloc /dev/vda2 /root || exec sleep 1000
mount -o move /dev /root/dev
mount -o move /proc /root/proc
mount -o move /sys /root/sys
ip link set eth0 up && ip address add 10.0.2.15/24 dev eth0
echo "probe log" > /root/dev/ttyS1
exec < /root/dev/ttyS0 > /root/dev/ttyS0 2>&1
while echo "probe ready" && read -r program words; do
  case $program in
    watchdog) : > /root/dev/watchdog0 ;; # as the gateway's initrd starts it
    *) chroot /root /bin/node "/$program-child.mjs" $words ;;
  esac
done
