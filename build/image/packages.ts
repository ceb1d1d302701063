// What the gateway's system is made of. A package is here because something of ours or the boot needs it; its reason stands beside it.

/** Debian 13. */
export const SUITE = "trixie";

/** On the device. Further ones come as dependencies. */
const ON_THE_DEVICE: readonly string[] = [
  "linux-image-amd64", // the kernel with USB, TPM and watchdog drivers; the `cloud` one has none
  "systemd",
  "systemd-sysv", // /sbin/init
  "udev",
  "kmod",
  "util-linux", // mount, flock
  "e2fsprogs", // fsck of the data partition
  "dosfstools", // fsck of the ESP
  "nftables", // the warden's packet filter
  "iproute2",
  "openssl", // provisioning asks the TPM through it
  "tpm2-openssl",
  "libtss2-tcti-device0t64", // from the provider to /dev/tpmrm0
  "libatomic1", // the private Node
  "libstdc++6", // the private Node
];

/** Needed while building, out again before the image is made: the builder then needs no newer distribution than this one. */
export const WHILE_BUILDING: readonly string[] = [
  "systemd-boot-efi", // boot loader and the stub that kernel images begin with
  "systemd-ukify",
  "busybox-static", // all that the initrd has
  "dmsetup",
];

export const PACKAGES: readonly string[] = [...ON_THE_DEVICE, ...WHILE_BUILDING];

/** Packages whose files leave the image: tools of the build, and what only a system that installs packages needs. */
export const LEFT_OUT: readonly string[] = [
  ...WHILE_BUILDING,
  "apt",
  "bash",
  "base-passwd",
  "bsdutils",
  "debconf",
  "debian-archive-keyring",
  "debianutils",
  "diffutils",
  "dpkg",
  "dracut-install",
  "gzip",
  "hostname",
  "initramfs-tools",
  "initramfs-tools-bin",
  "initramfs-tools-core",
  "klibc-utils",
  "libapt-pkg7.0",
  "libdb5.3t64",
  "libgdbm6t64",
  "libklibc",
  "libpython3-stdlib",
  "libpython3.13-minimal",
  "libpython3.13-stdlib",
  "libreadline8t64",
  "libseccomp-dev",
  "linux-base",
  "login",
  "login.defs",
  "mawk",
  "ncurses-base",
  "ncurses-bin",
  "perl-base",
  "python3",
  "python3-minimal",
  "python3-pefile",
  "python3.13",
  "python3.13-minimal",
  "sqv",
  "systemd-boot",
  "systemd-boot-tools",
  "sysvinit-utils",
  "tar",
  "tzdata",
  "zstd",
];

/** Further paths that go, below the root. */
export const PATHS_LEFT_OUT: readonly string[] = [
  "boot",
  "initrd.img",
  "initrd.img.old",
  "vmlinuz",
  "vmlinuz.old",
  "usr/share/doc",
  "usr/share/man",
  "usr/share/info",
  "usr/share/locale",
  "usr/share/lintian",
  "usr/share/bash-completion",
  "usr/share/zsh",
  "usr/share/python3",
  "usr/lib/udev/hwdb.d",
  "usr/lib/udev/hwdb.bin",
  "usr/lib/python3",
  "usr/lib/python3.13",
  "etc/apt",
  "etc/initramfs-tools",
  "etc/kernel",
  "etc/cron.daily",
  "etc/.pwd.lock",
  "var",
];

/** Folders of kernel modules that a gateway does not need, below `kernel/`: less to attack, less to ship. */
export const MODULES_LEFT_OUT: readonly string[] = [
  "sound",
  "drivers/gpu",
  "drivers/media",
  "drivers/infiniband",
  "drivers/staging",
  "drivers/iio",
  "drivers/isdn",
  "drivers/video",
  "drivers/firewire",
  "drivers/thunderbolt",
  "drivers/input/joystick",
  "drivers/input/touchscreen",
  "drivers/input/gameport",
  "drivers/net/wireless",
  "drivers/net/fddi",
  "drivers/net/arcnet",
  "drivers/net/ethernet/mellanox",
  "drivers/net/ethernet/chelsio",
  "drivers/net/ethernet/qlogic",
  "drivers/net/ethernet/netronome",
  "drivers/scsi",
  "drivers/target",
  "drivers/accel",
  "drivers/comedi",
  "drivers/block/drbd",
  "drivers/bluetooth",
  "net/bluetooth",
  "net/mac80211",
  "net/wireless",
  "net/sunrpc",
  "net/ceph",
  "net/tipc",
  "net/sctp",
  "net/rds",
  "net/dccp",
  "net/batman-adv",
  "net/nfc",
  "net/9p",
  "fs/btrfs",
  "fs/xfs",
  "fs/ocfs2",
  "fs/gfs2",
  "fs/jfs",
  "fs/nfs",
  "fs/nfsd",
  "fs/nfs_common",
  "fs/smb",
  "fs/ceph",
  "fs/afs",
  "fs/bcachefs",
  "fs/f2fs",
  "fs/reiserfs",
  "fs/nilfs2",
  "fs/ubifs",
  "fs/orangefs",
  "fs/dlm",
  "fs/udf",
  "fs/ntfs3",
  "fs/hfs",
  "fs/hfsplus",
  "arch/x86/kvm",
  "virt",
];

/** But these of them stay: disks. */
export const MODULES_KEPT: readonly string[] = ["scsi_mod", "sd_mod", "scsi_common", "virtio_scsi"];

/** What the initrd loads, with whatever they need: disks, the root's file system, and watchdogs, so that a boot that hangs ends. */
export const INITRD_MODULES: readonly string[] = [
  "virtio_pci",
  "virtio_blk",
  "virtio_scsi",
  "ahci",
  "sd_mod",
  "nvme",
  "sdhci_pci",
  "sdhci_acpi",
  "mmc_block",
  "dm_verity",
  "squashfs",
  "iTCO_wdt",
  "i6300esb",
];
