-- The newest partition of a table that is delivered to by partitions.
CREATE OR REPLACE VIEW {view}
OPTIONS (description = 'Foretell: the newest partition of {name}', labels = [('made_by', 'foretell')])
AS SELECT * FROM {target} WHERE {start} = (SELECT {newest} FROM {target})
