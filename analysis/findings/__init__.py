"""Run folders of the shipped findings configs -> small records, and the page docs/findings.md from these records alone."""
