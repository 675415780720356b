    -- What fails in here is told apart from what fails around it: the table does not take these rows, ever.
    BEGIN
      {clear}
      {insert}
      SET inserted = {inserted};
    EXCEPTION WHEN ERROR THEN
      ROLLBACK TRANSACTION;
      RAISE USING MESSAGE = CONCAT('foretell unfit: ', @@error.message);
    END;
    IF inserted <> @rows THEN
      RAISE USING MESSAGE = CONCAT('foretell rows: ', CAST(inserted AS STRING));
    END IF;
