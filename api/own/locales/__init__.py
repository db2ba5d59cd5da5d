"""The texts of the page: one file a language, all with the same keys (`api.own.page.languages`)."""
