"""The tutorials' tasks, one short file each: `python -m recipes list`."""
