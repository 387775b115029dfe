package bottles

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// fileSystemOf names the file system that a path is on, for people.
func fileSystemOf(path string) string {
	var at unix.Statfs_t
	if err := unix.Statfs(path, &at); err != nil {
		return fmt.Sprintf("of unknown kind (%v)", err)
	}
	names := map[int64]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs",
		unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.NFS_SUPER_MAGIC: "nfs", unix.FUSE_SUPER_MAGIC: "fuse", unix.MSDOS_SUPER_MAGIC: "vfat",
		unix.EXFAT_SUPER_MAGIC: "exfat", unix.CIFS_SUPER_MAGIC: "cifs", unix.SMB2_SUPER_MAGIC: "smb2", unix.V9FS_MAGIC: "9p",
	}
	if name, ok := names[int64(at.Type)]; ok {
		return name
	}
	return fmt.Sprintf("of type %#x", at.Type)
}
