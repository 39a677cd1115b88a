"""The lab: experiments on the real engine in a browser, and one's own data, served to this machine alone."""
