"""Problems with answers, graders, and the statistics of right and wrong."""
