/* A shared object that is not a model. */
int fake_other(void);
int fake_other(void) {
    return 0;
}
