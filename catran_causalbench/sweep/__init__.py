"""Many runs of many methods, through the harness's rules, resumable."""
