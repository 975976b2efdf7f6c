/* A library, but no plug-in: it does not export onward_plugin_init. */
int no_plugin(void);
int no_plugin(void) { return 1; }
