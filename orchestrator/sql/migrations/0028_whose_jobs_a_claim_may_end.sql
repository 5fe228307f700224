-- A job may end only jobs of the token `only_of` to have its key; null: any.
alter table claims add column only_of uuid;
