"""The commands of `locoprop-ref`, one file each; `main` puts them together."""
